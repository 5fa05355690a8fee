resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      grep -q root: /etc/shadow && echo STO''LEN; ls -A /root /home 2>/dev/null | grep -q . && echo 'something of root or home is seen'; true
    EOT
  }
}
