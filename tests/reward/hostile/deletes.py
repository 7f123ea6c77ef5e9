# Deletes its folder.
import os
import shutil

shutil.rmtree(os.getcwd(), ignore_errors=True)
print(os.listdir("."))
