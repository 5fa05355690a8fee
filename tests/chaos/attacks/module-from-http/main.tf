module "far" {
  source = "http://127.0.0.1:@PORT@/evil.zip"
}
