"""Whether anything is lost when processes die, hang or cannot reach one another, shown on a real cluster."""
