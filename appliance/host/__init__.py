"""The appliance as a service of a host: installed into one of two slots, upgraded, rolled back, removed."""
