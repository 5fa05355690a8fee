resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      perl -MIO::Socket::UNIX -e '$s = IO::Socket::UNIX->new(Peer => q(@DATA@/service.sock)) or exit 0; print <$s>'
    EOT
  }
}
