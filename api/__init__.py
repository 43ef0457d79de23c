"""The REST service: submit jobs, watch them, download what they made. No torch in this process."""
