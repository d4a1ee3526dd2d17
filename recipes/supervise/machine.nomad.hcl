# A machine as a task: nomad job run machine.nomad.hcl
#
# The clients need banger on their PATH, and raw_exec: plugin "raw_exec" { config { enabled = true } }.
# Nomad chooses the host, counts what the machine takes, stops it with SIGTERM, and starts it elsewhere
# when a host is lost. The image is pulled on the host that is chosen.
job "machine" {
  type = "service"

  group "machine" {
    count = 1

    restart {
      attempts = 3
      interval = "10m"
      delay    = "15s"
      mode     = "delay"
    }

    network {
      port "http" {
        to = 80
      }
    }

    task "machine" {
      driver = "raw_exec"

      config {
        command = "banger"
        args = [
          "vm", "run", "--foreground",
          "--name", "job-${NOMAD_SHORT_ALLOC_ID}",
          "--memory", "${NOMAD_MEMORY_LIMIT}M",
          "--publish", "0.0.0.0:${NOMAD_HOST_PORT_http}:80",
          "docker.io/library/nginx:1.27",
        ]
      }

      # One store for all of a host's machines, so that an image is pulled once.
      env {
        HOME           = "/root"
        XDG_STATE_HOME = "/var/lib"
        XDG_CACHE_HOME = "/var/cache"
      }

      # SIGTERM asks the command to end; then banger has this long until it is killed, and the machine with it.
      kill_signal  = "SIGTERM"
      kill_timeout = "45s"

      resources {
        cpu    = 1000
        memory = 512
      }
    }
  }
}
