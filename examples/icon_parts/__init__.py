"""Parts of the example `icon_search.py`."""
