resource "terraform_data" "attack" {
  provisioner "local-exec" {
    command = <<-EOT
      perl -MIO::Socket::UNIX -e '$s = IO::Socket::UNIX->new(Peer => qq(\0@SOCKET@)) or exit 0; print <$s>'
    EOT
  }
}
