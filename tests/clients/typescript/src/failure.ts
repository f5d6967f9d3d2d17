import { type ServiceError, status } from "@grpc/grpc-js";
import { BadRequest, ErrorInfo } from "nice-grpc-error-details";
import { Status } from "nice-grpc-error-details/lib/proto/google/rpc/status.js";
import type { Failure } from "./play.js";

/** grpc-js has no class for the errors of calls. */
export function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "details" in error && "metadata" in error;
}

export function failure(error: ServiceError): Failure {
  const failure: Failure = { code: status[error.code] };
  for (const bytes of error.metadata.get("grpc-status-details-bin")) {
    for (const detail of Status.decode(bytes as Buffer).details) {
      switch (detail.typeUrl.split("/").pop()) {
        case ErrorInfo.$type: {
          const info = ErrorInfo.decode(detail.value);
          failure.reason = info.reason.replace(/^ERROR_REASON_/, "");
          failure.metadata = info.metadata;
          break;
        }
        case BadRequest.$type:
          failure.fields = BadRequest.decode(detail.value).fieldViolations.map(({ field }) => field);
          break;
      }
    }
  }
  return failure;
}
