"""Controls: what every metric must place right, whatever models are compared. One file each; `rows.py` scores them."""
