data "terraform_remote_state" "other" {
  backend = "local"
  config = {
    path = "@DATA@/runs/77-1/module/terraform.tfstate"
  }
}
output "loot" {
  value = data.terraform_remote_state.other.outputs
}
