"""What kinds of failures there are: PublishErrorCategory, by short names."""

from generated.hitchpost.v1 import social_post_service_pb2 as pb

AUTH = pb.PUBLISH_ERROR_CATEGORY_AUTH
PERMISSION = pb.PUBLISH_ERROR_CATEGORY_PERMISSION
CONTENT = pb.PUBLISH_ERROR_CATEGORY_CONTENT
DUPLICATE = pb.PUBLISH_ERROR_CATEGORY_DUPLICATE
MEDIA = pb.PUBLISH_ERROR_CATEGORY_MEDIA
RATE_LIMIT = pb.PUBLISH_ERROR_CATEGORY_RATE_LIMIT
PLATFORM = pb.PUBLISH_ERROR_CATEGORY_PLATFORM
NETWORK = pb.PUBLISH_ERROR_CATEGORY_NETWORK


def short_name(category: int) -> str:
    """`MEDIA` for PUBLISH_ERROR_CATEGORY_MEDIA."""
    return pb.PublishErrorCategory.Name(category).removeprefix("PUBLISH_ERROR_CATEGORY_")
