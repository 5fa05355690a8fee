path = "../../../seal_keys"
