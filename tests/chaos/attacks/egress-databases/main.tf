resource "terraform_data" "attack" {
  provisioner "local-exec" {
    interpreter = ["bash", "-c"]
    command     = <<-EOT
      for port in @PORT@ 5432 3306 6379; do (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null && echo STO''LEN $port; done; true
    EOT
  }
}
