package main

import (
	"strings"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
)

// failure is what the error of a call says: its code, and from its google.rpc details the reason, metadata and fields.
func failure(s *status.Status) seen {
	// The codes of grpc-go spell themselves otherwise: AlreadyExists, Canceled.
	saw := seen{"code": code.Code(s.Code()).String()}
	for _, detail := range s.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			saw["reason"] = strings.TrimPrefix(detail.GetReason(), "ERROR_REASON_")
			saw["metadata"] = detail.GetMetadata()
		case *errdetails.BadRequest:
			var fields []string
			for _, violation := range detail.GetFieldViolations() {
				fields = append(fields, violation.GetField())
			}
			saw["fields"] = fields
		}
	}
	return saw
}
