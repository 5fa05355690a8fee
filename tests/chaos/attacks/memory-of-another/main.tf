resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      head -c 1 /proc/@VICTIM@/maps > /dev/null && echo STO''LEN; true
    EOT
  }
}
