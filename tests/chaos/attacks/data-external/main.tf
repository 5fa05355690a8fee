data "external" "attack" {
  program = ["cat", "@DATA@/seal_keys"]
}
