"""What an error keeps alive."""

import traceback


def forget_frames(error: BaseException | None) -> None:
    """Lets go of all that an error's way holds, since the error is in one of its frames, too.

    Such a cycle would keep the request and all that was made of it until the cyclic collector comes.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
