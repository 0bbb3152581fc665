"""The one exception that users are meant to see."""


class Failure(Exception):
    """An expected failure, in one sentence: what went wrong, where, and what to do next.

    The command line prints the sentence and exits with code 1, without a traceback. Anything else
    that escapes is a defect of tremorscope and keeps its traceback.
    """
