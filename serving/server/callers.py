"""The rates of callers: a token bucket for each (Turner 1986, the leaky bucket as a meter)."""

import ipaddress
import time
from collections import OrderedDict

MOST_CALLERS = 10_000  # the length of the table; the caller that was seen longest ago is forgotten, with a full bucket


class Callers:
    """The requests that callers may send: `burst` at once, and `per_s` in each second.

    Args:
      per_s: the requests of a caller in a second; None for any number.
      burst: the requests of a caller at once.
    """

    def __init__(self, per_s: float | None, burst: float):
        self._per_s, self._burst = per_s, burst
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # caller → requests left, and at what time

    def __len__(self) -> int:
        return len(self._left)

    def wait_s(self, caller: str) -> float:
        """Count a request of a caller; return 0 if it is allowed, else the seconds after which one is."""
        if self._per_s is None:
            return 0.0
        now = time.monotonic()
        left, at = self._left.pop(caller, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_s)
        allowed = left >= 1
        self._left[caller] = left - allowed, now
        if len(self._left) > MOST_CALLERS:
            self._left.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._per_s


def of_address(host: str) -> str:
    """Return the caller at an address: for IPv6 the network of 64 bits, of which a caller may have all addresses."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return host if address.version == 4 else str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
