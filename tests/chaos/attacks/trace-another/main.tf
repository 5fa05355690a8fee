resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      perl -e 'print q(STO), qq(LEN\n) if syscall(101, 16, @VICTIM@, 0, 0) == 0'
    EOT
  }
}
