"""Players: policies for Directors, speakers and users, and the team that they make."""
