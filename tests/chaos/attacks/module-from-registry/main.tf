module "far" {
  source  = "127.0.0.1:@PORT@/evil/evil/evil"
  version = "1.0.0"
}
