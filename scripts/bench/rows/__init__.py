"""The rows of the speed table, Temper beside its peers: ../run.sh measures them, ../README.md says what each one is."""
