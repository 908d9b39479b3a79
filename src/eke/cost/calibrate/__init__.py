"""`eke calibrate`: finding out what chips really do, by measuring them or from the user's own records.

    cores.py     a CPU's peaks, without torch               (measured in `_cores.py`, the engine's in `_engine.py`)
    devices.py   which torch device a chip is, and timing its kernels and links (in `_kernels.py`, `_links.py`)
    shares.py    from timed kernels to shares of peak, half-sizes and links
    columns.py, records.py    a user's CSV, read with what is wrong in it
    runs.py      from records to the few coefficients they tell, with errors on rows held out
    squares.py   the fit itself

What is found lies in `eke.cost.calibration`. It knows no plan and no scenario.
"""

from eke.cost.calibrate.cores import ensure

__all__ = ["ensure"]
