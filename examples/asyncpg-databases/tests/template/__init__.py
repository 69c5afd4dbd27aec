"""What the template promises of `app/`, tested on this service's server. A team's own tests stand one folder up."""
