data "http" "attack" {
  url = "http://127.0.0.1:@PORT@/"
}
