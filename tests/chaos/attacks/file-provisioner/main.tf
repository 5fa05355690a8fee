resource "terraform_data" "attack" {
  connection {
    host     = "127.0.0.1"
    port     = @PORT@
    password = "x"
    timeout  = "2s"
  }
  provisioner "file" {
    source      = "@DATA@/seal_keys"
    destination = "/x"
  }
}
