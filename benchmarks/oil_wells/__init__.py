"""Oil wells and flowlines of Grimstad and Andersson (2019)."""
