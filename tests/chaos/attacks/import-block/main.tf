import {
  to = terraform_data.mine
  id = "theirs"
}

resource "terraform_data" "mine" {
}
