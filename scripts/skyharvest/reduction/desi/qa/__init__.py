"""How good a production is: metrics of each frame, judged by limits, collated by night and production."""
