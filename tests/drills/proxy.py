"""A TCP proxy before a database server, which a drill makes fail.

    proxy.py SERVER_PORT FOLDER

It writes its port to FOLDER/port, and obeys the word in FOLDER/mode:

    up        carries everything
    cut       closes all connections, and new ones at once
    stall     keeps connections, and carries nothing until the stall is over
    silent    keeps connections and swallows what is sent; connections of this time never speak again, and the server
              does not hear of their end
    answers   carries requests; one answer in ten is swallowed and its connection closed
"""

import asyncio
import os
import random
import sys

server, folder = int(sys.argv[1]), sys.argv[2]
mode = "up"
open_pairs = set()
lost = []


class Pair:
    """One connection of a client, and the one to the server for it."""

    def __init__(self, near, far):
        self.writers = (near, far)
        self.is_dead = False

    def close(self):
        near, far = self.writers
        near.transport.abort()
        if self.is_dead and mode != "cut":
            # The server does not hear of it, as if the machine or its network were lost.
            lost.append(far)
        else:
            far.transport.abort()


async def pump(pair, reader, writer, is_answer):
    while data := await reader.read(65536):
        while mode == "stall":
            await asyncio.sleep(0.02)
        pair.is_dead |= mode == "silent"
        if mode == "answers" and is_answer and random.random() < 0.1:
            return
        if not pair.is_dead:
            writer.write(data)
            await writer.drain()


async def carry(near_reader, near_writer):
    if mode == "cut":
        return near_writer.transport.abort()
    try:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", server)
    except OSError:
        return near_writer.transport.abort()
    pair = Pair(near_writer, far_writer)
    open_pairs.add(pair)
    pumps = [
        asyncio.create_task(pump(pair, near_reader, far_writer, False)),
        asyncio.create_task(pump(pair, far_reader, near_writer, True)),
    ]
    await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    for task in pumps:
        task.cancel()
    await asyncio.gather(*pumps, return_exceptions=True)
    open_pairs.discard(pair)
    pair.close()


async def obey():
    """Reads the mode again and again: what is silenced stays so, what is cut ends."""
    global mode
    while True:
        try:
            with open(f"{folder}/mode") as file:
                mode = file.read().strip() or mode
        except FileNotFoundError:
            pass
        for pair in list(open_pairs):
            pair.is_dead |= mode == "silent"
            if mode == "cut":
                pair.close()
        await asyncio.sleep(0.02)


async def main():
    listener = await asyncio.start_server(carry, "127.0.0.1", 0)
    with open(f"{folder}/port.new", "w") as file:
        file.write(str(listener.sockets[0].getsockname()[1]))
    os.rename(f"{folder}/port.new", f"{folder}/port")
    await obey()


asyncio.run(main())
