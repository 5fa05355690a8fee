resource "terraform_data" "harmless" {
}
