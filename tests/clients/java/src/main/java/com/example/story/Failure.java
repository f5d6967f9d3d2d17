package com.example.story;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.BadRequest.FieldViolation;
import com.google.rpc.ErrorInfo;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;
import java.util.HashMap;
import java.util.Map;

/** What an error says: its code, and from its google.rpc details the reason, metadata and fields. */
final class Failure {
  private Failure() {}

  static Map<String, Object> of(Throwable error) throws InvalidProtocolBufferException {
    var seen = new HashMap<String, Object>();
    seen.put("code", Status.fromThrowable(error).getCode().name());
    for (var detail : StatusProto.fromThrowable(error).getDetailsList()) {
      if (detail.is(ErrorInfo.class)) {
        var info = detail.unpack(ErrorInfo.class);
        seen.put("reason", info.getReason().replaceFirst("^ERROR_REASON_", ""));
        seen.put("metadata", info.getMetadataMap());
      } else if (detail.is(BadRequest.class)) {
        var violations = detail.unpack(BadRequest.class).getFieldViolationsList();
        seen.put("fields", violations.stream().map(FieldViolation::getField).toList());
      }
    }
    return seen;
  }
}
