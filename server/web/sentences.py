"""What people read when a connection fails: for each reason that can reach a page, what they can do now.

The messages of errors are for engineers, who call methods; a person has an app that they came from.
"""

from generated.hitchpost.v1 import error_reason_pb2 as pb
from server.base.errors import HitchpostError

_AGAIN = "Go back to the app that you came from and start again there."
_LATER = (
    "Wait a minute and reload this page. If that does not help, go back to the app that you came from and "
    "start again there."
)

SENTENCES: dict[int, str] = {
    pb.ERROR_REASON_FIELD_INVALID: f"This address is not complete. {_AGAIN}",
    pb.ERROR_REASON_OWNED_BY_ANOTHER: "This profile is already connected for somebody else, so nothing was "
    "changed. If it is yours, ask the people who run the app that you came from.",
    pb.ERROR_REASON_SOCIAL_ACCOUNT_NOT_FOUND: "The account that you wanted to reconnect has been deleted "
    "meanwhile. Go back to the app that you came from and connect it there as a new one.",
    pb.ERROR_REASON_PLATFORM_NOT_CONFIGURED: "Accounts of this platform can't be connected here. Tell the "
    "people who run the app that you came from.",
    pb.ERROR_REASON_PLATFORM_UNAVAILABLE: f"The platform does not answer at the moment. {_LATER}",
    pb.ERROR_REASON_AUTH_STATE_UNKNOWN: f"This link is not valid: part of it was lost or changed. {_AGAIN}",
    pb.ERROR_REASON_AUTH_STATE_USED: "This link has been used already. If you have just connected your "
    "account, all is well: go back to the app that you came from. If not, start again there.",
    pb.ERROR_REASON_AUTH_STATE_EXPIRED: f"This link is too old: it works for 15 minutes. {_AGAIN}",
    pb.ERROR_REASON_AUTH_DENIED: "You chose not to connect an account, so nothing was changed. If that was "
    "a mistake, go back to the app that you came from and start again there.",
    pb.ERROR_REASON_AUTH_CODE_REFUSED: f"The platform did not accept this sign-in. {_AGAIN}",
    pb.ERROR_REASON_AUTH_INTERRUPTED: f"The platform failed before your account was connected. {_AGAIN}",
    pb.ERROR_REASON_AUTH_WRONG_PROFILE: "You signed in with another profile than the one to reconnect. Go "
    "back to the app that you came from, start again there, and sign in with that profile.",
    pb.ERROR_REASON_AUTH_NO_PROFILE: "You did not share any account. Go back to the app that you came from, "
    "start again there, and choose at least one.",
    pb.ERROR_REASON_OVERLOADED: f"There is too much to do here at the moment. {_LATER}",
    pb.ERROR_REASON_DATABASE_UNAVAILABLE: f"This can't be finished at the moment. {_LATER}",
    pb.ERROR_REASON_STATEMENT_TIMEOUT: f"This takes too long at the moment. {_LATER}",
    pb.ERROR_REASON_CONCURRENT_WRITE: f"The same account was changed at the same moment. {_AGAIN}",
    pb.ERROR_REASON_INTERNAL: f"Something went wrong here. {_AGAIN} If it goes wrong again, tell the people "
    "who run that app.",
}


def sentence(error: HitchpostError) -> str:
    """What a person can do about the error."""
    return SENTENCES.get(error.reason, SENTENCES[pb.ERROR_REASON_INTERNAL])
