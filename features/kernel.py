"""How loops over users are compiled."""

from __future__ import annotations

import numba as nb

# Threads run the same kernel on different users, hence no GIL and no threads inside.
kernel = nb.njit(nogil=True, cache=True, error_model="numpy")
