"""Is an explanation robust: does it stay the same for nearby inputs, and under another key?"""
