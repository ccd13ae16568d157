"""Tests of appliance.inference."""
