class PerMessageDeflateOffer:
    request_max_window_bits: int
    accept_no_context_takeover: bool

class PerMessageDeflateOfferAccept:
    def __init__(
        self,
        offer: PerMessageDeflateOffer,
        request_no_context_takeover: bool = ...,
        request_max_window_bits: int = ...,
        no_context_takeover: bool | None = ...,
    ) -> None: ...
    def get_extension_string(self) -> str: ...
