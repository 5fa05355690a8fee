module "far" {
  source = "git::http://127.0.0.1:@PORT@/evil.git"
}
