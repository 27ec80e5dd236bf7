"""Is an explanation faithful: does it say what the model does when parts of the input change?"""
