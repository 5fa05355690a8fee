resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      perl -e 'defined shmget(0, 1 << 28, 0600) and print q(STO), q(LEN)'; ipcs -m
    EOT
  }
}
