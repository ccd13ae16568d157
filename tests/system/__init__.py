"""The one file on a real systemd host without a network: `make system-test`. No part of `make test`: it needs root."""
