terraform {
  required_providers {
    evil = {
      source = "evil/evil"
    }
  }
}

resource "evil_thing" "attack" {
}
