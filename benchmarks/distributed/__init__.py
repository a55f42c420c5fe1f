"""What more workers would gain: tasks recorded, and the coordinator played on them."""
