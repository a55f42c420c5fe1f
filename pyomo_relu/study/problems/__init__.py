"""What the study optimises: functions, oil wells, a pendulum, and models of them."""
