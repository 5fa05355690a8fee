terraform {
  cloud {
    organization = "evil"
  }
}
