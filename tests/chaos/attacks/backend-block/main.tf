terraform {
  backend "local" {
    path = "../../77-1/module/terraform.tfstate"
  }
}

resource "terraform_data" "attack" {
}
