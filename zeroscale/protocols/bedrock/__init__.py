"""Minecraft Bedrock: RakNet as far as a join, the status in its pong, and the packets of a join. Sans-I/O."""
