"""What a user does from the laptop with a cluster that `ray up` has started. Reached by SSH alone."""
