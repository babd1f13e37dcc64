"""How good the reduction of HETDEX is: values of its products, judged by limits; no pages."""
