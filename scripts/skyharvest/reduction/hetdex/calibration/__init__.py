"""What a month's biases and twilights say of a detector and its fibers."""
